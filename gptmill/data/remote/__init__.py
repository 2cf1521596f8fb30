"""Files from the network: fetched once, checked, kept beside the dataset they belong to."""
