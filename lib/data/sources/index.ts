// The public `sources`: pictures that are decoded as they are needed, in an order that follows from a seed.

export { files, filesFrom, type FilesOptions, type StreamOptions } from "./files";
export { folder, type ClassFolder, type FolderOptions } from "./folder";
export { iterable, type IterableOptions, type LabelledImage } from "./iterable";
export { type LabelFunction } from "./labels";
export { ListedSource } from "./listed-source";
export { type BatchOptions, type ImageSource, type SourceBatch, type SourceOrder } from "./source";
export { StreamedSource } from "./streamed-source";
export { tar, type ShardSample, type TarOptions } from "./tar";
