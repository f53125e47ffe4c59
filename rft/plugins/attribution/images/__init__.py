"""Attribution for pictures: maps, the deletion test, and regions swapped between images."""
