"""What k8s/ says, without a cluster."""
