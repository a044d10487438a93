// The weights of a network by name: copies of them, and others in their place.
#pragma once

#include "core/named_tensors.h"
#include "models/network.h"

namespace ood {

// Copies of parameters and buffers, in host memory.
NamedTensors copied_weights(const Network& network);

// Every parameter and buffer, by name; nothing changes unless all fit. ERR_SHAPE for a missing or misshapen tensor,
// ERR_DTYPE for integers in place of floating numbers, ERR_OPTION for a surplus one, ERR_NON_FINITE.
void load_weights(Network& network, const NamedTensors& given);

}  // namespace ood
