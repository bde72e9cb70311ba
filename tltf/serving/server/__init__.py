"""A model server for one machine: the REST paths of TF Serving, on an export, in this process."""
