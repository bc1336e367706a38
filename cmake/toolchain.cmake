# A compiler cache and a fast linker, where this machine has them. Either can be set from outside instead.
find_program(PENSTOCK_CCACHE ccache)
if(PENSTOCK_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # What ccache must be told before it keeps files that are compiled with precompiled headers.
  set(CMAKE_CXX_COMPILER_LAUNCHER
      ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
      ${PENSTOCK_CCACHE})
  add_compile_options(-fpch-preprocess)
endif()

find_program(PENSTOCK_MOLD ld.mold)
find_program(PENSTOCK_LLD ld.lld)
mark_as_advanced(PENSTOCK_CCACHE PENSTOCK_MOLD PENSTOCK_LLD)
if(PENSTOCK_MOLD)
  add_link_options(-fuse-ld=mold)
elseif(PENSTOCK_LLD)
  add_link_options(-fuse-ld=lld)
endif()
