"""From numbers to what people read: warnings, conclusions, tables, pictures and the page."""
