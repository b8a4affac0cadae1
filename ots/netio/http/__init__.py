"""HTTP for measuring: connections dialled one by one, and the data path of the throughput probes."""
