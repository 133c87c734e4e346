"""A target system of pods in a Kubernetes cluster, with faults carried by Chaos Mesh.

Needs the extra `kubernetes`; docs/kubernetes.md leads from an empty cluster to the first labelled window.
"""
