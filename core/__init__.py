"""What turns a model and batches into a trained, measured model. Of datasets/ it uses the VideoBatch type alone."""
