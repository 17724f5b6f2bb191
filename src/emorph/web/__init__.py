"""The page to edit on, ``emorph web``: a photo, sliders, and a picture that follows."""
