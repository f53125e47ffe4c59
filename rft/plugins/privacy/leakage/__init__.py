"""What frozen features and data give away whatever is trained on them."""
