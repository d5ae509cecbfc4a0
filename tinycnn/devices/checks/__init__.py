"""What is run over every kernel, without a network: launches on odd shapes, and NVIDIA's compiler."""
