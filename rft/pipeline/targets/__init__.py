"""What is audited: a backbone that is cut and fine-tuned here, a model that others trained, or predictions alone."""
