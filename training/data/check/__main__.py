from training.data.check.command import main

raise SystemExit(main())
