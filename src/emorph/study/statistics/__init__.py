"""The statistics of a user study, each file one method and none of them reading a file."""
