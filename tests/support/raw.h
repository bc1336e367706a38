// A connection on which a test sends any bytes it likes, and reads what comes back.
#pragma once

#include <map>
#include <string>

namespace penstock::test {

struct RawAnswer {
  int status = 0;  // 0: the connection ended before a whole answer
  std::string head;
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
};

class Raw {
 public:
  // "127.0.0.1:PORT". Throws where nobody listens there.
  explicit Raw(const std::string& address);
  ~Raw();
  Raw(const Raw&) = delete;
  Raw& operator=(const Raw&) = delete;

  bool send(const std::string& bytes);  // false where the other side is gone
  void end();                           // says that no more comes
  RawAnswer answer(bool head_only = false);
  // What comes until the other side ends. A test that waits for 30 s is broken: it throws.
  std::string rest();
  // What comes next, at least a byte; throws where nothing does.
  std::string some();

 private:
  bool more();

  int socket_ = -1;
  std::string read_;
};

}  // namespace penstock::test
