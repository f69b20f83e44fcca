"""What made the weights. Nothing in ``hear_audioformer`` imports this package; it imports ``hear_audioformer``."""
