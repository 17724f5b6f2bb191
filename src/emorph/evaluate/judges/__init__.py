"""The networks that look at faces: judges of emotions judge, recognisers recognise, encoders and comparers measure."""
