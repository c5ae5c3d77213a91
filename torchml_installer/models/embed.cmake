# Lets the assembler embed a model's files in its library. KIM's own functions compile them as C code,
# which takes minutes and gigabytes for a large model. The library is the same. Include this before
# add_kim_api_model_library. Where it does not work, it changes nothing.

# Writes the C code of KIM's symbol and symbol_len. end: what follows the file, an assembler directive.
function(torchml_embed symbol file end source)
  foreach(_ for-the-assembler for-c)
    string(REGEX REPLACE "([\"\\\\])" "\\\\\\1" file "${file}")
  endforeach()
  string(CONFIGURE [=[
extern unsigned char const @symbol@[];
__asm__(
    ".pushsection .rodata, \"a\", %progbits\n"
    ".globl @symbol@\n"
    ".type @symbol@, %object\n"
    "@symbol@: .incbin \"@file@\"\n"
    "1: @end@\n"
    ".size @symbol@, . - @symbol@\n"
    ".balign 4\n"
    ".globl @symbol@_len\n"
    ".type @symbol@_len, %object\n"
    "@symbol@_len: .long 1b - @symbol@\n"
    ".size @symbol@_len, 4\n"
    ".popsection\n");
]=] code @ONLY)
  file(WRITE "${source}" "${code}")
endfunction()

set(TORCHML_EMBEDS FALSE CACHE INTERNAL "Whether the assembler embeds the files")
if(COMMAND _add_custom_command_blob_to_c AND KIM-API-ITEMS_VERSION VERSION_LESS 2.4)
  set(torchml_encode "${CMAKE_COMMAND}" -E true)
elseif(COMMAND _add_custom_command_blob_to_cpp AND KIM-API-ITEMS_VERSION VERSION_LESS 2.5)
  find_program(TORCHML_BASE64 base64)
  set(torchml_encode "${TORCHML_BASE64}" -w0)
else()
  return()
endif()
if(NOT CMAKE_CXX_COMPILER)
  return()
endif()

set(torchml_probe "${CMAKE_CURRENT_BINARY_DIR}/embed-probe.cpp")
torchml_embed(probe "${torchml_probe}" ".byte 0" "${torchml_probe}")
execute_process(
  COMMAND "${CMAKE_CXX_COMPILER}" -w -fno-lto -c "${torchml_probe}" -o "${torchml_probe}.o"
  RESULT_VARIABLE torchml_refused OUTPUT_QUIET ERROR_QUIET)
if(torchml_refused EQUAL 0)
  execute_process(
    COMMAND ${torchml_encode} "${torchml_probe}"
    RESULT_VARIABLE torchml_refused OUTPUT_QUIET ERROR_QUIET)
endif()
if(NOT torchml_refused EQUAL 0)
  return()
endif()
set(TORCHML_EMBEDS TRUE CACHE INTERNAL "Whether the assembler embeds the files")

if(COMMAND _add_custom_command_blob_to_c)
  function(_add_custom_command_blob_to_c folder file source)
    string(MAKE_C_IDENTIFIER "${file}" symbol)
    torchml_embed("${symbol}" "${folder}/${file}" "" "${source}")
    set_source_files_properties(
      "${source}" PROPERTIES COMPILE_FLAGS "-w -fno-lto" OBJECT_DEPENDS "${folder}/${file}")
  endfunction()
else()
  # KIM-API 2.4 reads files in base64, up to a zero.
  function(_add_custom_command_blob_to_cpp folder file source)
    string(MAKE_C_IDENTIFIER "${file}" symbol)
    add_custom_command(
      OUTPUT "${source}.base64"
      COMMAND "${TORCHML_BASE64}" -w0 "${folder}/${file}" > "${source}.base64"
      DEPENDS "${folder}/${file}"
      VERBATIM)
    torchml_embed("${symbol}" "${source}.base64" ".byte 0" "${source}")
    set_source_files_properties(
      "${source}" PROPERTIES COMPILE_FLAGS "-w -fno-lto" OBJECT_DEPENDS "${source}.base64")
  endfunction()
endif()
