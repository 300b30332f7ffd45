"""One module a format; each turns a Diagnosis into text and knows nothing of clusters or checks."""
