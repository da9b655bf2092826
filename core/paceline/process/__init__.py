"""What a process takes from the system: signals to stop, and files of certificates."""
