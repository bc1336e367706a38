# penstock::arrow and penstock::parquet (which brings arrow along). Arrow 26 needs C++20.
find_package(Arrow 26 CONFIG QUIET)
if(TARGET Arrow::arrow_shared)
  find_package(Parquet CONFIG QUIET)
  if(NOT TARGET Parquet::parquet_shared)
    penstock_missing(Parquet)
  endif()
  penstock_target(arrow Arrow::arrow_shared)
  penstock_target(parquet Parquet::parquet_shared Arrow::arrow_shared)
  return()
endif()

# The wheel has headers and libraries with the number of the release in their names, and nothing for CMake.
set(folder ${penstock_deps}/arrow)
set(version 2600)
if(NOT EXISTS ${folder}/include/arrow/api.h OR NOT EXISTS ${folder}/lib/libparquet.so.${version})
  penstock_missing("Apache Arrow")
endif()
file(GLOB libraries ${folder}/lib/lib*.so.${version})
penstock_link_beside(${libraries})
foreach(name arrow arrow_compute parquet)
  if(EXISTS ${folder}/lib/lib${name}.so.${version})
    add_library(penstock::${name} SHARED IMPORTED GLOBAL)
    set_target_properties(penstock::${name} PROPERTIES
      IMPORTED_LOCATION ${folder}/lib/lib${name}.so.${version}
      IMPORTED_SONAME lib${name}.so.${version}
      INTERFACE_INCLUDE_DIRECTORIES ${folder}/include
      INTERFACE_COMPILE_FEATURES cxx_std_20)
  endif()
endforeach()
set_target_properties(penstock::parquet PROPERTIES INTERFACE_LINK_LIBRARIES penstock::arrow)
