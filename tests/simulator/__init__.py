"""The simulator, reached over HTTP as anyone would."""
