"""What Prometheus may ask of the server: how it is (`/metrics`), and how a target is (`/probe`).

`registry` holds the server's own figures and `observed` counts its requests; `exposition` writes figures as
Prometheus reads them. A probe is described by a module (`module`, read by `module_file` from a file written
for blackbox_exporter), may only go where the `allow_list` says (`gate` asks it for every address), is made by
the engines of `ots.netio` (`http_prober`, `tcp_prober`, `dns_prober`, `icmp_prober`) and asked for at
`probe_page`. docs/design/025-prometheus.md says why it is made like this.
"""
