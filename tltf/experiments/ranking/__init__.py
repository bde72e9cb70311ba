"""Which pretrained network suits a data set, judged from what the frozen networks give for its rows."""
