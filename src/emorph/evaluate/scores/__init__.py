"""From records to numbers with intervals and controls."""
