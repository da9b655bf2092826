"""What is made: steps, the checks of their answers, and the questions that answers hold."""
