"""Editing photographs. Read pipeline.py first: it shows the whole path of one photo, in order.

One photo: pipeline.py, latent.py (where z_sem goes), redraw.py (landmarks and pixels move), codec.py (the model draws),
change.py (what changed is pasted), result.py (what comes out), sheet.py (many targets as one picture).
Many files: files.py, jobs.py, batch.py, paths.py, metadata.py. Through a 3D face: rig/.
"""
