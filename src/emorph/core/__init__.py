"""What every layer shares: types, errors, pixels, configuration, records and files."""
