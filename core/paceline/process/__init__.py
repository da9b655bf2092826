"""What a process takes from the system: signals to stop, certificates, collection of garbage."""
