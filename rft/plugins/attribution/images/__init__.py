"""Attribution for images: maps, the deletion test, and regions swapped between images."""
