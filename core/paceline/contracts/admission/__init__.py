"""When work may start: strategies, what they admit, and the state that workers share."""
