// The errors of CUDA's runtime that the emulator can give: number, name, what CUDA calls it.
#define CUDASIM_ERRORS(X)                                                                            \
    X(0, cudaSuccess, "no error")                                                                    \
    X(1, cudaErrorInvalidValue, "invalid argument")                                                  \
    X(2, cudaErrorMemoryAllocation, "out of memory")                                                 \
    X(3, cudaErrorInitializationError, "initialization error")                                       \
    X(9, cudaErrorInvalidConfiguration, "invalid configuration argument")                            \
    X(12, cudaErrorInvalidPitchValue, "invalid pitch argument")                                      \
    X(13, cudaErrorInvalidSymbol, "invalid device symbol")                                           \
    X(17, cudaErrorInvalidDevicePointer, "invalid device pointer")                                   \
    X(21, cudaErrorInvalidMemcpyDirection, "invalid copy direction for memcpy")                      \
    X(30, cudaErrorUnknown, "unknown error")                                                         \
    X(35, cudaErrorInsufficientDriver, "CUDA driver version is insufficient for CUDA runtime version") \
    X(98, cudaErrorInvalidDeviceFunction, "invalid device function")                                 \
    X(100, cudaErrorNoDevice, "no CUDA-capable device is detected")                                  \
    X(101, cudaErrorInvalidDevice, "invalid device ordinal")                                         \
    X(209, cudaErrorNoKernelImageForDevice, "no kernel image is available for execution on the device") \
    X(217, cudaErrorPeerAccessUnsupported, "peer access is not supported between these two devices") \
    X(400, cudaErrorInvalidResourceHandle, "invalid resource handle")                                \
    X(600, cudaErrorNotReady, "device not ready")                                                    \
    X(700, cudaErrorIllegalAddress, "an illegal memory access was encountered")                      \
    X(701, cudaErrorLaunchOutOfResources, "too many resources requested for launch")                 \
    X(702, cudaErrorLaunchTimeout, "the launch timed out and was terminated")                        \
    X(704, cudaErrorPeerAccessAlreadyEnabled, "peer access is already enabled")                      \
    X(705, cudaErrorPeerAccessNotEnabled, "peer access has not been enabled")                        \
    X(708, cudaErrorSetOnActiveProcess, "cannot set while device is active in this process")         \
    X(710, cudaErrorAssert, "device-side assert triggered")                                          \
    X(712, cudaErrorHostMemoryAlreadyRegistered, "part or all of the requested memory range is already mapped") \
    X(713, cudaErrorHostMemoryNotRegistered, "pointer does not correspond to a registered memory region") \
    X(715, cudaErrorIllegalInstruction, "an illegal instruction was encountered")                    \
    X(716, cudaErrorMisalignedAddress, "misaligned address")                                         \
    X(719, cudaErrorLaunchFailure, "unspecified launch failure")                                     \
    X(720, cudaErrorCooperativeLaunchTooLarge, "too many blocks in cooperative launch")              \
    X(800, cudaErrorNotPermitted, "operation not permitted")                                         \
    X(801, cudaErrorNotSupported, "operation not supported")                                         \
    X(999, cudaErrorApiFailureBase, "api failure base")
