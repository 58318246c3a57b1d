// SPDX-License-Identifier: Apache-2.0

// OpenSSL's libcrypto, which Debian's libhdf5-dev depends on: SHA-256, and nothing else.
#pragma once
#include <openssl/evp.h>
