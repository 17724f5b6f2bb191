"""Films: the editor of photos, frame by frame along tracks of faces. Needs PyAV (the extra ``video``)."""
