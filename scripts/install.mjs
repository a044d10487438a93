// npm's install script: present so that npm does not compile implicitly because of binding.gyp. It does nothing, and
// never fails or uses the network: what is missing is explained when the package is first used.
