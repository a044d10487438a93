import { expectAssignable, expectError, expectType } from "tsd";
import { Dataset, ResNet, sources, type EpochReport, type ImageSource, type SourceBatch } from "..";

declare const model: ResNet;
declare const data: Dataset;

expectAssignable<ImageSource>(data);
expectAssignable<ImageSource>(sources.tar("a-{0..9}.tar"));
expectAssignable<ImageSource>(sources.files(["a.jpg"]));
expectAssignable<ImageSource>({} as sources.ClassFolder);
expectType<Promise<sources.ClassFolder>>(sources.folder("photos"));
expectType<Promise<sources.ListedSource>>(sources.folder("photos", { labels: "none" }));
expectType<Promise<EpochReport[]>>(model.fit(sources.tar("a.tar"), { epochs: 1, augmentation: { colorJitter: { hue: 0.1 } } }));
expectType<AsyncIterable<SourceBatch>>(data.batches({ batchSize: 4, input: { size: 32 } }));
void model.extractStream(sources.iterable([new Uint8Array(1)]), ({ labels }) => expectType<Int32Array>(labels));
void model.fit(data, { epochs: 1, checkpointEvery: { batches: 4 } });
expectError(model.fit(sources.tar("a.tar"), { epochs: 1, augmentation: "photo" }));
expectError(data.batches({ input: { size: 32 } }));
const own: ImageSource = {
  length: undefined,
  classNames: ["a"],
  async *batches({ batchSize, ...options }) {
    expectType<number>(batchSize);
    yield* data.batches({ batchSize, ...options });
  },
};
void model.fit(own, { epochs: 1 });
