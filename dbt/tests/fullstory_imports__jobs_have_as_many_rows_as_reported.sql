{#- Only warns, because the tap accepts a job whose pages are complete in themselves. -#}
{{ config(severity='warn', enabled=is_loaded('import_jobs') or is_loaded('user_import_jobs')) }}

{%- set query %}
with jobs as (

    select * from {{ ref('fullstory_imports__jobs') }}

)

select
    'Job ' || job_id || ' of ' || kind || ' reports other numbers of rows: ' || coalesce(missing, 0) || ' missing, ' || coalesce(surplus, 0)
    || ' too many; of its failed rows ' || coalesce(failed_missing, 0) || ' missing, ' || coalesce(failed_surplus, 0) || ' too many.' as problem
from jobs
where is_finished
    and not is_accepted
    and (missing > 0 or surplus > 0 or failed_missing > 0 or failed_surplus > 0)
{%- endset %}

{{ naming_problems(query) }}
