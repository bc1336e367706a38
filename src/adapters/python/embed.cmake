# A script as a text of the program.
file(READ ${SCRIPT} text)
file(WRITE ${OUT} "#include \"adapters/python/script.h\"\n\nnamespace penstock::python {\n\nconst char* const worker_script = R\"py(${text})py\";\n\n}  // namespace penstock::python\n")
