// npm's install script in a clone: present so that npm does not compile implicitly because of binding.gyp. It does nothing.
// The published package has neither the script nor binding.gyp (scripts/pack-all.mjs): nothing runs at installation, and what
// is missing is explained when the package is first used.
