"""What is durable: the store and the records that it keeps."""
