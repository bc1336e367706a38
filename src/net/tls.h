// Whom a TLS connection of ours trusts.
#pragma once

#include <string>
#include <boost/asio/ssl/context.hpp>

namespace penstock::net {

// TLS 1.2 and later, with authorities out of a PEM file; those of the system where none is named,
// and OpenSSL takes these from SSL_CERT_FILE or SSL_CERT_DIR where they are set.
inline boost::system::error_code trust(boost::asio::ssl::context& context,
                                       const std::string& ca_file = "") {
  using boost::asio::ssl::context_base;
  context.set_options(context_base::default_workarounds | context_base::no_tlsv1 |
                      context_base::no_tlsv1_1);
  context.set_verify_mode(boost::asio::ssl::verify_peer);
  boost::system::error_code fault;
  if (ca_file.empty())
    context.set_default_verify_paths(fault);
  else
    context.load_verify_file(ca_file, fault);
  return fault;
}

}  // namespace penstock::net
