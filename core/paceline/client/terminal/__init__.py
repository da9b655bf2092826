"""What commands share: options, output and progress. Commands of plugins use it too."""
