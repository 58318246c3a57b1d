// SPDX-License-Identifier: Apache-2.0

#pragma once
// HDF5 1.12 renamed some 1.10 calls and left macros behind, which Swift cannot import.
#define H5_USE_110_API
#include <hdf5.h>
#include <stdlib.h>
#include <string.h>

// The predefined ids are macros that call a function or cast, which Swift cannot import.
static inline hid_t chdf5_native_float(void) { return H5T_NATIVE_FLOAT; }
static inline hid_t chdf5_native_double(void) { return H5T_NATIVE_DOUBLE; }
static inline hid_t chdf5_native_int32(void) { return H5T_NATIVE_INT32; }
static inline hid_t chdf5_native_int64(void) { return H5T_NATIVE_INT64; }
static inline hid_t chdf5_native_uint8(void) { return H5T_NATIVE_UINT8; }
static inline hid_t chdf5_c_string(void) { return H5T_C_S1; }
static inline hid_t chdf5_object_reference(void) { return H5T_STD_REF_OBJ; }
static inline size_t chdf5_variable(void) { return H5T_VARIABLE; }
static inline hid_t chdf5_file_create(void) { return H5P_FILE_CREATE; }
static inline hid_t chdf5_file_access(void) { return H5P_FILE_ACCESS; }
static inline hid_t chdf5_dataset_create(void) { return H5P_DATASET_CREATE; }
static inline hid_t chdf5_group_create(void) { return H5P_GROUP_CREATE; }
static inline hid_t chdf5_link_create(void) { return H5P_LINK_CREATE; }
static inline hid_t chdf5_attribute_create(void) { return H5P_ATTRIBUTE_CREATE; }
static inline hid_t chdf5_default(void) { return H5P_DEFAULT; }
static inline hid_t chdf5_all(void) { return H5S_ALL; }
static inline hid_t chdf5_error_stack(void) { return H5E_DEFAULT; }
static inline unsigned chdf5_truncate(void) { return H5F_ACC_TRUNC; }
static inline unsigned chdf5_read_only(void) { return H5F_ACC_RDONLY; }
static inline unsigned chdf5_read_write(void) { return H5F_ACC_RDWR; }
static inline unsigned chdf5_keep_order(void) {
  return H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED;
}

// Where an object's header lies in its file: the same address is the same object.
static inline herr_t chdf5_object_address(hid_t object, haddr_t *address) {
  H5O_info_t info;
  herr_t status = H5Oget_info(object, &info);
  if (status >= 0) *address = info.addr;
  return status;
}

// Calls `visit` with the name of every link of a group, and whether it is a hard one, in the order of `index`.
typedef void (*chdf5_link_visitor)(const char *name, int is_hard, void *context);
struct chdf5_link_visit { chdf5_link_visitor visit; void *context; };
static herr_t chdf5_visit_link(hid_t group, const char *name, const H5L_info_t *info, void *data) {
  const struct chdf5_link_visit *call = (const struct chdf5_link_visit *)data;
  (void)group;
  call->visit(name, info->type == H5L_TYPE_HARD, call->context);
  return 0;
}
static inline herr_t chdf5_each_link(
    hid_t group, H5_index_t index, chdf5_link_visitor visit, void *context) {
  struct chdf5_link_visit call = {visit, context};
  return H5Literate(group, index, H5_ITER_INC, NULL, chdf5_visit_link, &call);
}

// A file in memory hands its bytes to `*context` as it is closed; they are freed by the caller. The library's own
// H5Fget_file_image leaves a wrong checksum in the superblock of a file that is still open for writing.
static void *chdf5_image_malloc(size_t size, H5FD_file_image_op_t op, void *context) {
  (void)op, (void)context;
  return malloc(size);
}
static void *chdf5_image_memcpy(
    void *to, const void *from, size_t size, H5FD_file_image_op_t op, void *context) {
  (void)op, (void)context;
  return memcpy(to, from, size);
}
static void *chdf5_image_realloc(void *bytes, size_t size, H5FD_file_image_op_t op, void *context) {
  (void)op, (void)context;
  return realloc(bytes, size);
}
static herr_t chdf5_image_free(void *bytes, H5FD_file_image_op_t op, void *context) {
  if (op == H5FD_FILE_IMAGE_OP_FILE_CLOSE)
    *(void **)context = bytes;
  else
    free(bytes);
  return 0;
}
static void *chdf5_image_context_copy(void *context) { return context; }
static herr_t chdf5_image_context_free(void *context) {
  (void)context;
  return 0;
}
static inline herr_t chdf5_keep_image(hid_t access, void **bytes) {
  H5FD_file_image_callbacks_t callbacks = {
      chdf5_image_malloc, chdf5_image_memcpy, chdf5_image_realloc, chdf5_image_free,
      chdf5_image_context_copy, chdf5_image_context_free, bytes};
  return H5Pset_file_image_callbacks(access, &callbacks);
}
