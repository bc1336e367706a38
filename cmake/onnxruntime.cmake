# penstock::onnxruntime_headers: the C API's header, and in PENSTOCK_ONNXRUNTIME_LIB (a string literal) what
# to give to dlopen. The library is loaded when the first model is, so it is not linked.
find_path(PENSTOCK_ONNXRUNTIME_INCLUDE onnxruntime_c_api.h
  PATH_SUFFIXES onnxruntime onnxruntime/core/session PATHS ${penstock_deps}/onnxruntime/include)
find_library(PENSTOCK_ONNXRUNTIME_FILE onnxruntime PATHS ${penstock_deps}/onnxruntime/lib)
mark_as_advanced(PENSTOCK_ONNXRUNTIME_INCLUDE PENSTOCK_ONNXRUNTIME_FILE)
if(NOT PENSTOCK_ONNXRUNTIME_INCLUDE OR NOT PENSTOCK_ONNXRUNTIME_FILE)
  penstock_missing("ONNX Runtime")
endif()
penstock_link_beside(${PENSTOCK_ONNXRUNTIME_FILE})

# A name alone is looked for along the program's RUNPATH, so the program can be moved. The sanitizers call
# dlopen in our stead and from a library of their own, whose RUNPATH is not ours: there, the full path.
set(PENSTOCK_ONNXRUNTIME_LIB libonnxruntime.so CACHE STRING "what dlopen is given for ONNX Runtime")
set(library ${PENSTOCK_ONNXRUNTIME_LIB})
if(SANITIZE)
  set(library ${penstock_lib}/libonnxruntime.so)
endif()
add_library(penstock::onnxruntime_headers INTERFACE IMPORTED GLOBAL)
target_include_directories(penstock::onnxruntime_headers SYSTEM INTERFACE ${PENSTOCK_ONNXRUNTIME_INCLUDE})
target_compile_definitions(penstock::onnxruntime_headers INTERFACE PENSTOCK_ONNXRUNTIME_LIB="${library}")
