"""Reports: pages, tables and plots of results."""
