"""What templates show, worked out before they are filled."""
