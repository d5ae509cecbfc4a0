// All stages of a training step in one kernel. What calls them is generated from a network: `tinycnn plan go-crazy
// --source` shows it.
#pragma once
#include "planes.cuh"
#include "masks.cuh"
#include "conv.cuh"
#include "dense.cuh"
#include "maxpool2d.cuh"
#include "batchnorm.cuh"
#include "softmax_crossentropy.cuh"
#include "optimizers.cuh"
#include "grid.cuh"
