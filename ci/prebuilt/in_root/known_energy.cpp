// A portable model as the KIM-API's CMake code makes it, with files from files.inc.

#include <KIM_CollectionItemType.hpp>
#include <KIM_FunctionTypes.hpp>
#include <KIM_LanguageName.hpp>
#include <KIM_SharedLibrarySchema.hpp>

using KIM::SHARED_LIBRARY_SCHEMA::SharedLibrarySchemaV2;

// Defines model_name, driver_name and files.
#include "files.inc"

extern "C" {
int kim_shared_library_schema_version = 2;

SharedLibrarySchemaV2 kim_shared_library_schema = {
    KIM::COLLECTION_ITEM_TYPE::portableModel,
    model_name,
    KIM::LANGUAGE_NAME::cpp,
    nullptr,
    driver_name,
    nullptr,
    sizeof(files) / sizeof(files[0]),
    files,
    0,
    nullptr,
};
}
