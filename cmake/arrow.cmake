# penstock::arrow, and penstock::parquet, arrow_compute and arrow_s3, which bring it along. Arrow 26 needs C++20.
# arrow_s3 registers itself when it is loaded and nothing names it: link it with --no-as-needed.
find_package(Arrow 26 CONFIG QUIET)
if(TARGET Arrow::arrow_shared)
  find_package(Parquet CONFIG QUIET)
  find_package(ArrowCompute CONFIG QUIET)
  if(NOT TARGET Parquet::parquet_shared OR NOT TARGET ArrowCompute::arrow_compute_shared)
    penstock_missing("Arrow's Parquet and compute libraries")
  endif()
  penstock_target(arrow Arrow::arrow_shared)
  penstock_target(parquet Parquet::parquet_shared Arrow::arrow_shared)
  penstock_target(arrow_compute ArrowCompute::arrow_compute_shared Arrow::arrow_shared)
  penstock_target(arrow_s3 Arrow::arrow_shared)  # a distribution builds it into Arrow itself
  return()
endif()

# The wheel has headers and libraries with the number of the release in their names, and nothing for CMake.
set(folder ${penstock_deps}/arrow)
set(version 2600)
if(NOT EXISTS ${folder}/include/arrow/api.h OR NOT EXISTS ${folder}/lib/libparquet.so.${version})
  penstock_missing("Apache Arrow")
endif()
foreach(name arrow arrow_compute arrow_s3 parquet)
  set(file ${folder}/lib/lib${name}.so.${version})
  penstock_link_beside(${file})
  add_library(penstock::${name} SHARED IMPORTED GLOBAL)
  set_target_properties(penstock::${name} PROPERTIES
    IMPORTED_LOCATION ${file}
    IMPORTED_SONAME lib${name}.so.${version}
    INTERFACE_INCLUDE_DIRECTORIES ${folder}/include
    INTERFACE_COMPILE_FEATURES cxx_std_20)
  if(NOT name STREQUAL arrow)
    set_target_properties(penstock::${name} PROPERTIES INTERFACE_LINK_LIBRARIES penstock::arrow)
  endif()
endforeach()
