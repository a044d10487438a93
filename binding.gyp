{
  # One CMake definition builds the addons; node-gyp, prebuildify and node-gyp-build only call it and find the result.
  "targets": [
    {
      "target_name": "libtorch_ood",
      "type": "none",
      "actions": [
        {
          "action_name": "cmake",
          "inputs": ["CMakeLists.txt"],
          "outputs": ["<(PRODUCT_DIR)/libtorch_ood.node"],
          "action": ["node", "scripts/build-native.mjs", "--output", "<(PRODUCT_DIR)"]
        }
      ]
    }
  ]
}
